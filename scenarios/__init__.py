"""What is simulated: data sets, encoders, networks and built-in scenario files."""
