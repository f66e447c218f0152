"""Task families: one small file per data set."""
