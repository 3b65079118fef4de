"""One file here is one task of the Edit tab: it reads what was asked for, calls a flow and says what came of it."""
