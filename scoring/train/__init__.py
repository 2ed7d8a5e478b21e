"""Training and measuring of points models: never imported by the verified zone; `fit` and `card` need the extra."""
