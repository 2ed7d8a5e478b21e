"""The other side of the API: wallets, an HTTP client, and the borrower's own device."""
