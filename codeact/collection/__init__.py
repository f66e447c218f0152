"""From recorded trajectories to training conversations: tiers, selection, conversion."""
