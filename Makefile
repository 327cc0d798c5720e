# The two commands of a newcomer are "make run" and "make test"; what does the work is in auto/, configure and objs/Makefile.

BUILD ?= objs
JOBS := $(shell nproc 2>/dev/null || echo 2)
INNER = $(MAKE) --no-print-directory -f $(BUILD)/Makefile
FUZZ_BUILD := objs-fuzz
FUZZ_SECONDS ?= 60

.PHONY: all run test bench fuzz deps man install clean

all: deps
	@auto/again $(BUILD)
	@$(INNER) -j $(JOBS) all

run: all
	@auto/run $(BUILD)

# make test TESTS="t/mqtt/retain.t objs/t/unit/str_test" runs only those
test:
	@auto/deps test
	@auto/again $(BUILD)
	@$(INNER) -j $(JOBS) all unit bench
	@auto/test $(BUILD) $(TESTS)

bench:
	@auto/deps test
	@auto/again $(BUILD)
	@$(INNER) -j $(JOBS) all bench
	@openssl=$$(sed -n 's/^OPENSSL := //p' $(BUILD)/Makefile); \
	    SALLYPORT_BUILD=$(BUILD) SALLYPORT=$(BUILD)/sallyport OPENSSL=$${openssl:-openssl} t/bench/run $(BENCH)

# every target for FUZZ_SECONDS, on from its corpus
fuzz:
	@auto/deps fuzz
	@auto/again $(FUZZ_BUILD) --with-cc=clang --with-fuzzers
	@$(MAKE) --no-print-directory -f $(FUZZ_BUILD)/Makefile -j $(JOBS) fuzz
	@auto/fuzz $(FUZZ_BUILD) $(FUZZ_SECONDS) $(TARGETS)

deps:
	@auto/deps run

man: all
	@$(INNER) man

# what installs does not fetch or compile as root what its builder did not: build first, then "sudo make install"
install:
	@test -f $(BUILD)/Makefile || { echo 'make it first: make' >&2; exit 1; }
	@$(INNER) install

clean:
	rm -rf $(BUILD) $(FUZZ_BUILD)
