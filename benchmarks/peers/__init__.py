"""The field's simulators, each in an environment of its own, on the networks of NETWORKS.md."""
