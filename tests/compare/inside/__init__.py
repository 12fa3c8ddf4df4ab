"""What runs inside either tree. It is linked into a folder of its own and imported as `inside`, and of the project it
imports only what both trees have at the same place."""
