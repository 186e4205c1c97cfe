"""Reading images, masks and folders of them."""
