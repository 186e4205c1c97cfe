"""The demonstration: land and sea from a picture of the Earth, on three surfaces."""
