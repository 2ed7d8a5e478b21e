"""The local network that shows the product: invented borrowers, their statements and their loans. Never used by a real node."""
