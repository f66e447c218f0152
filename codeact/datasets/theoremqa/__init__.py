"""TheoremQA: theorems put to use."""
