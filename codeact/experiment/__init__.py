"""Settings times tasks become episode records in a run folder."""
