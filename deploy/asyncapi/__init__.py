"""The topics as AsyncAPI 3, made from the contracts: channels, messages, and which service sends and receives them."""
