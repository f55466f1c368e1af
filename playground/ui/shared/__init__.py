"""Components that are drawn in the browser: a Python file and a .js file each, same name."""
