// Command hooktool is the lab's one binary inside a container, and does what its name says.
//
// Called by the name of a Juju hook tool (a link such as "relation-get"), it carries the call
// to the unit's agent over the Unix socket in JUJU_AGENT_SOCKET_ADDRESS and gives back what
// the agent answers. Called as "lab-init" it is the first process of a container: it finishes
// the container's root and becomes the command that follows, or, when the command is "pause",
// stays and reaps orphans.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

type request struct {
	Argv      []string `json:"argv"`
	Stdin     *string  `json:"stdin"`
	ContextID string   `json:"context_id"`
	Cwd       string   `json:"cwd"`
}

type answer struct {
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
	RC     int    `json:"rc"`
}

func init() {
	// Process 1 changes its program below, which only its first thread does without a change
	// of threads that others could see halfway.
	runtime.LockOSThread()
}

func main() {
	name := filepath.Base(os.Args[0])
	if name == "lab-init" {
		becomeInit(os.Args[1:])
	}
	rc, err := call(name, os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "ERROR %v\n", err)
		os.Exit(1)
	}
	os.Exit(rc)
}

// call carries one hook tool call to the agent and returns its exit code.
func call(name string, args []string) (int, error) {
	message := request{
		Argv:      append([]string{name}, args...),
		ContextID: os.Getenv("JUJU_CONTEXT_ID"),
	}
	message.Cwd, _ = os.Getwd()
	if readsStdin(args) {
		text, err := io.ReadAll(os.Stdin)
		if err != nil {
			return 0, err
		}
		stdin := string(text)
		message.Stdin = &stdin
	}
	address := os.Getenv("JUJU_AGENT_SOCKET_ADDRESS")
	if address == "" {
		return 0, fmt.Errorf("JUJU_AGENT_SOCKET_ADDRESS is not set: %s runs in hooks only", name)
	}
	// A raw socket spares the start-up of Go's net package, which a tool pays at every call.
	socket, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := syscall.Connect(socket, &syscall.SockaddrUnix{Name: address}); err != nil {
		return 0, fmt.Errorf("cannot reach the agent at %s: %w", address, err)
	}
	stream := os.NewFile(uintptr(socket), "agent")
	defer stream.Close()
	if err := json.NewEncoder(stream).Encode(message); err != nil {
		return 0, fmt.Errorf("cannot ask the agent: %w", err)
	}
	var reply answer
	if err := json.NewDecoder(stream).Decode(&reply); err != nil {
		return 0, fmt.Errorf("the agent gave no answer: %w", err)
	}
	if _, err := os.Stdout.WriteString(reply.Stdout); err != nil {
		return 0, err
	}
	os.Stderr.WriteString(reply.Stderr)
	return reply.RC, nil
}

// readsStdin tells whether the tool is asked to read its standard input ("--file -").
func readsStdin(args []string) bool {
	for i, arg := range args {
		if arg == "--file=-" || arg == "--file" && i+1 < len(args) && args[i+1] == "-" {
			return true
		}
	}
	return false
}

// becomeInit makes the working directory the root and becomes the given command.
//
// The first argument is the number of an open pipe. It is closed when the command has taken
// over; a text in it says why it has not.
func becomeInit(args []string) {
	pipe, err := strconv.Atoi(args[0])
	if err != nil {
		panic(err)
	}
	syscall.CloseOnExec(pipe)
	err = finishRoot()
	if err == nil {
		if args[1] == "pause" {
			pause(pipe)
		}
		err = syscall.Exec(args[1], args[1:], os.Environ())
	}
	syscall.Write(pipe, []byte(err.Error()))
	os.Exit(70)
}

// finishRoot mounts /proc and pivots.
//
// /proc shows the pid namespace of the process that mounts it, so only the first process of
// the container can mount it; all other mounts have been made before.
func finishRoot() error {
	flags := uintptr(syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC)
	if err := syscall.Mount("proc", "proc", "proc", flags, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := syscall.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := syscall.Unmount(".", syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("umount of the old root: %w", err)
	}
	return os.Chdir("/")
}

// pause reaps the orphans of the container for as long as it lives; only SIGKILL ends it.
func pause(pipe int) {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGCHLD)
	syscall.Close(pipe)
	for {
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if err != syscall.EINTR && (err != nil || pid <= 0) {
				break
			}
		}
		<-signals
	}
}
