
# From here on as auto/rules.mk has it, which configure puts behind the variables above.

CORE_OBJ := $(CORE_SRC:%.c=$(B)/%.o)
MAIN_OBJ := $(MAIN_SRC:%.c=$(B)/%.o)
LIB := $(B)/libsallyport.a

UNIT_SRC := $(sort $(wildcard t/unit/*_test.c))
UNIT_BIN := $(UNIT_SRC:%.c=$(B)/%)
FUZZ_SRC := $(sort $(wildcard t/fuzz/*_fuzz.c))
FUZZ_BIN := $(FUZZ_SRC:%.c=$(B)/%)
# every t/bench/*_bench.c is a program of its own, the rest together is the load generator
BENCH_SRC := $(sort $(wildcard t/bench/*_bench.c))
BENCH_BIN := $(BENCH_SRC:%.c=$(B)/%)
LOAD_OBJ := $(patsubst %.c,$(B)/%.o,$(filter-out $(BENCH_SRC),$(sort $(wildcard t/bench/*.c))))
# code that several unit tests or fuzz targets share: t/unit/*_help.c, t/fuzz/*_help.c
UNIT_HELP_OBJ := $(patsubst %.c,$(B)/%.o,$(sort $(wildcard t/unit/*_help.c)))
FUZZ_HELP_OBJ := $(patsubst %.c,$(B)/%.o,$(sort $(wildcard t/fuzz/*_help.c)))

COMPILE = $(CC) $(CFLAGS) $(INCLUDES) -MMD -MP -c -o $@ $<
ALL_OBJ := $(CORE_OBJ) $(MAIN_OBJ) $(MODULE_OBJ) $(UNIT_SRC:%.c=$(B)/%.o) $(FUZZ_SRC:%.c=$(B)/%.o) \
    $(BENCH_SRC:%.c=$(B)/%.o) $(LOAD_OBJ) $(UNIT_HELP_OBJ) $(FUZZ_HELP_OBJ)

# What is already built is not printed again; V=1 prints every command whole.
ifneq ($(V),1)
QUIET = @echo '  $(1)  $@';
endif

.DELETE_ON_ERROR:
.PHONY: all sallyport unit fuzz bench man install FORCE

all: sallyport ;
sallyport: $(B)/sallyport ;
unit: $(UNIT_BIN) ;
fuzz: $(FUZZ_BIN) ;
bench: $(if $(LOAD_OBJ),$(B)/t/bench/spload) $(BENCH_BIN) ;
man: $(B)/sallyport.8 ;

# a changed list of files or changed options rebuild what hangs on them; an unchanged one keeps its time stamp
$(B)/objects.list: FORCE
	@echo $(sort $(CORE_OBJ) $(MODULE_OBJ)) >$@.new; if cmp -s $@ $@.new; then rm $@.new; else mv $@.new $@; fi
$(B)/flags.list: FORCE
	@echo '$(CC) $(CFLAGS) $(LDFLAGS) $(RPATH) $(LIBS)' >$@.new; if cmp -s $@ $@.new; then rm $@.new; else mv $@.new $@; fi
FORCE:

$(ALL_OBJ): $(B)/flags.list

$(B)/sp_modules.o: $(B)/sp_modules.c
	$(call QUIET,CC  )$(COMPILE)

$(B)/src/%.o: src/%.c
	@mkdir -p $(@D)
	$(call QUIET,CC  )$(COMPILE)

$(B)/t/%.o: t/%.c
	@mkdir -p $(@D)
	$(call QUIET,CC  )$(COMPILE)

$(LIB): $(CORE_OBJ) $(B)/objects.list
	@rm -f $@
	$(call QUIET,AR  )ar rcsD $@ $(CORE_OBJ)

# whole: modules that load_module brings in later find every core symbol
LINK = $(CC) -o $@ $(MAIN_OBJ) $(MODULE_OBJ) -Wl,--whole-archive $(LIB) -Wl,--no-whole-archive $(LDFLAGS)

$(B)/sallyport: $(MAIN_OBJ) $(MODULE_OBJ) $(LIB) $(B)/objects.list
	$(call QUIET,LINK)$(LINK) $(RPATH) $(LIBS)

# For make install: finds the libraries that auto/deps built in PREFIX/lib/sallyport, never in somebody's cache.
$(B)/sallyport.install: $(B)/sallyport
	$(call QUIET,LINK)$(LINK) $(if $(INSTALL_LIBS),-Wl$(comma)-rpath$(comma)'$$ORIGIN/../lib/sallyport') $(LIBS)
comma := ,

# muldefs: a test may stand in for a neighbour of what it tests; its own definition comes first and wins
$(UNIT_BIN): $(B)/t/unit/%: $(B)/t/unit/%.o $(UNIT_HELP_OBJ) $(MODULE_OBJ) $(LIB)
	$(call QUIET,LINK)$(CC) -Wl,-z,muldefs -o $@ $< $(UNIT_HELP_OBJ) $(MODULE_OBJ) $(LIB) $(LDFLAGS) $(RPATH) $(LIBS)

$(FUZZ_BIN): $(B)/t/fuzz/%: $(B)/t/fuzz/%.o $(FUZZ_HELP_OBJ) $(MODULE_OBJ) $(LIB)
	$(if $(FUZZ_LINK),,@echo 'fuzz targets want configure --with-fuzzers' >&2; exit 1)
	$(call QUIET,LINK)$(CC) -o $@ $< $(FUZZ_HELP_OBJ) $(MODULE_OBJ) $(LIB) $(LDFLAGS) $(FUZZ_LINK) $(RPATH) $(LIBS)

$(B)/t/bench/spload: $(LOAD_OBJ) $(LIB)
	$(call QUIET,LINK)$(CC) -o $@ $(LOAD_OBJ) $(LIB) $(LDFLAGS) $(RPATH) $(LIBS)

$(BENCH_BIN): $(B)/t/bench/%: $(B)/t/bench/%.o $(MODULE_OBJ) $(LIB)
	$(call QUIET,LINK)$(CC) -o $@ $< $(MODULE_OBJ) $(LIB) $(LDFLAGS) $(RPATH) $(LIBS)

# the hand-written part, with the reference of all directives at its marker line, from the binary's own tables
$(B)/sallyport.8: docs/sallyport.8.in $(B)/sallyport
	$(call QUIET,MAN )$(B)/sallyport -D --man >$@.directives
	@sed -e '/^@DIRECTIVES@$$/{' -e 'r $@.directives' -e d -e '}' docs/sallyport.8.in >$@ && rm $@.directives

install: $(B)/sallyport.install $(if $(wildcard docs/sallyport.8.in),$(B)/sallyport.8)
	@auto/install $(B) '$(DESTDIR)' '$(PREFIX)' $(INSTALL_LIBS)

-include $(ALL_OBJ:.o=.d)
