"""Jobs after they were submitted: what became of them, what they say, how they are ended."""
