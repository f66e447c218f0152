"""Tables, progress and trackers: they read run folders and never write them."""
