"""Spiking networks: what they are made of, and the shards that advance them."""
