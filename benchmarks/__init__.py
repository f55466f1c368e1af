"""What the playground costs and what it brings, measured; nothing here is part of the app."""
