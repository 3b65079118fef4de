"""Training methods, one a file; see models.lab.method."""
