"""The middle floor: settings times tasks become episode records in a run folder."""
