package main

// ContainerLimit is for tests: the files of cgroups are the kernel's.
var ContainerLimit = containerLimit
