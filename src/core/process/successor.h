/* A binary upgrade, the new side. The environment variable names the descriptor of the channel to the old master. */
#ifndef SP_PROCESS_SUCCESSOR_H
#define SP_PROCESS_SUCCESSOR_H

#define SP_SUCCESSOR_ENV "SALLYPORT_UPGRADE"

#endif
