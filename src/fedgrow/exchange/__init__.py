"""What may leave a participant, and how much did."""
