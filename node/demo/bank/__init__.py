"""An invented bank and its customers: lives, the accounts they leave behind, and the files a customer can export."""
