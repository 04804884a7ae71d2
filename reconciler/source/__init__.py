"""Where the desired state is read from: a folder, or a commit of a Git repository that nobody trusts."""
