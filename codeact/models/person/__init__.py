"""A person at the terminal: as the policy, as the user, or between the policy and its actions."""
