"""Tasks for spiking networks that make their own input and judge what was learnt."""
