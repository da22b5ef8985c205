"""The room of products: what there is to buy, how it is found, and how it looks."""
