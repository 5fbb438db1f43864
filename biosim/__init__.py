"""The machine: simulates networks; knows no rule, no data set, no cluster."""
