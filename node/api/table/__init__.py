"""The addresses of the API, by what they show; `node.api.endpoints` puts them together. No handler is written here."""
