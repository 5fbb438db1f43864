"""`biosim submit`: from a scenario and a description of the job to jobs of a scheduler."""
