"""The runtime of a job: device, precision, processes, random state and signals. No other module asks torch for them."""
