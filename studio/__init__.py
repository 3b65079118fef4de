"""The face of Onestroke: tabs, live socket, library, export and command line. It never imports torch; `models` does that."""
