// A client of the engine in Go, over a unix socket, with nothing but a MessagePack library.
// Usage: client SOCKET ZIP. It says each step on standard output and ends with status 1 on the first surprise.
package main

import (
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
)

const inFlight = 64

// Answer is [1, id, error, result].
type Answer struct {
	_msgpack struct{} `msgpack:",as_array"`
	Kind     int
	ID       uint32
	Error    map[string]any
	Result   any
}

// Client matches answers to requests by id, in whatever order they come.
type Client struct {
	conn    net.Conn
	mutex   sync.Mutex
	last    uint32
	waiting map[uint32]chan Answer
}

func dial(path string) *Client {
	conn, err := net.Dial("unix", path)
	check(err)
	client := &Client{conn: conn, waiting: map[uint32]chan Answer{}}
	go client.read()
	return client
}

func (c *Client) read() {
	decoder := msgpack.NewDecoder(c.conn)
	for {
		var answer Answer
		if err := decoder.Decode(&answer); err != nil {
			return
		}
		c.mutex.Lock()
		waiting := c.waiting[answer.ID]
		delete(c.waiting, answer.ID)
		c.mutex.Unlock()
		waiting <- answer
	}
}

// send is a call under way: its answer comes through the channel.
func (c *Client) send(method string, params ...any) chan Answer {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.last++
	packed, err := msgpack.Marshal([]any{0, c.last, method, append([]any{}, params...)}) // never nil: an array
	check(err)
	answer := make(chan Answer, 1)
	c.waiting[c.last] = answer
	_, err = c.conn.Write(packed)
	check(err)
	return answer
}

func (c *Client) call(method string, params ...any) any {
	answer := <-c.send(method, params...)
	expect(answer.Error == nil, "%s: %v", method, answer.Error)
	return answer.Result
}

func check(err error) {
	expect(err == nil, "%v", err)
}

func expect(holds bool, format string, args ...any) {
	if !holds {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
		os.Exit(1)
	}
}

func main() {
	client := dial(os.Args[1])
	zip, err := os.ReadFile(os.Args[2])
	check(err)

	expect(client.call("ping") == "pong", "ping was not answered by pong")
	fmt.Println("ping")

	made := client.call("create_function", map[string]any{"name": "from-go", "code": zip, "handler": "app.handler"})
	expect(made.(map[string]any)["function_name"] == "from-go", "created: %v", made)
	fmt.Println("create_function")

	var calls [inFlight]chan Answer
	for n := range calls {
		calls[n] = client.send("invoke", "from-go", []byte(fmt.Sprintf(`{"n": %d}`, n)))
	}
	for n := range calls {
		answer := <-calls[n]
		expect(answer.Error == nil, "invoke %d: %v", n, answer.Error)
		payload := string(answer.Result.(map[string]any)["payload"].([]byte))
		expect(payload == fmt.Sprintf(`{"n": %d}`, n), "call %d was answered by %s", n, payload)
	}
	fmt.Println("invoke", inFlight)

	failed := client.call("invoke", "from-go", `"fail"`, map[string]any{"log_tail": true}).(map[string]any)
	expect(failed["function_error"] == "Unhandled", "a function error: %v", failed)
	fmt.Println("function_error")

	refused := <-client.send("invoke", "nobody", []byte("1"))
	expect(refused.Error["type"] == "ResourceNotFoundException", "an unknown function: %v", refused.Error)
	expect(refused.Error["message"] != "", "an unknown function: %v", refused.Error)
	fmt.Println("error", refused.Error["type"])

	client.call("delete_function", map[string]any{"name": "from-go"})
	fmt.Println("delete_function")
}
