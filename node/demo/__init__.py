"""The local network that shows the product: invented borrowers, their statements, their loans. No real node uses it."""
