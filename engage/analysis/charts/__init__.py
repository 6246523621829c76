"""Charts of the analyses, in altair and one theme; every function takes a frame of `engage.analysis` and no engine."""
