"""What a job runs on: device, precision, processes, random state and signals. Nothing else asks torch about these."""
