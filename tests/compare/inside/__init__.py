"""Code that runs inside either tree. It is linked into a folder of its own and imported as `inside`, and imports
only those parts of the project that both trees have at the same place."""
