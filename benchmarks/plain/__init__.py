"""Plain hand-written torch loops of some rules, as peers for throughput."""
