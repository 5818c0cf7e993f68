"""The entry points: one file per process, the code that these share, and the command line. No other
package imports this one."""
