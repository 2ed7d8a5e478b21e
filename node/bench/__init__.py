"""`liushui bench`: a throw-away network of real node processes under load, and what it did in figures."""
