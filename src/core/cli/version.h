/* sallyport -v and -V: version, how it was built, which libraries run. */
#ifndef SP_CLI_VERSION_H
#define SP_CLI_VERSION_H

void sp_version_print(void);
void sp_version_print_build(void);

#endif
