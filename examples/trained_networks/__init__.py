"""Trained networks of others: loaded, converted to panoramas, audited and exported by the commands."""
