/*
 * What goes over the control socket. The client sends one request: u32 magic, u32 bytes that follow, u32 count, then the
 * arguments as length-prefixed texts. The gateway answers with frames: u8 kind, u32 bytes, bytes; the last one is EXIT.
 */
#ifndef SP_PROCESS_CONTROL_WIRE_H
#define SP_PROCESS_CONTROL_WIRE_H

#define SP_CONTROL_MAGIC       0x31435053u /* "SPC1" */
#define SP_CONTROL_REQUEST_MAX (128u * 1024)
#define SP_CONTROL_FRAME_MAX   (16u << 20)
#define SP_CONTROL_ARGS_MAX    16u
#define SP_CONTROL_HEAD_BYTES  8u
#define SP_CONTROL_FRAME_BYTES 5u

enum sp_control_frame {
    SP_CONTROL_OUT = 1, /* for standard output */
    SP_CONTROL_ERR,     /* for standard error */
    SP_CONTROL_EXIT,    /* u32: the exit code */
};

#endif
