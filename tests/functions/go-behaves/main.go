// A function in Go as users write one, with every way to answer, to fail and to end. _HANDLER says which handler it is.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/shopspring/decimal"
)

type order struct {
	Name   string            `json:"name"`
	Prices []decimal.Decimal `json:"prices"`
}

type receipt struct {
	Greeting string          `json:"greeting"`
	Total    decimal.Decimal `json:"total"`
}

func hello(_ context.Context, given order) (receipt, error) {
	return receipt{"Hello, " + given.Name + "!", decimal.Sum(decimal.Zero, given.Prices...)}, nil
}

func url(_ context.Context, request events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	said := request.RequestContext.HTTP.Method + " " + request.RawPath
	return events.APIGatewayV2HTTPResponse{StatusCode: 200, Body: said}, nil
}

type outOfStock struct{ Item string }

func (e outOfStock) Error() string { return e.Item + " is out of stock" }

type wish struct {
	Do string `json:"do"`
	N  int    `json:"n"`
}

var held [][]byte

func behave(ctx context.Context, asked wish) (any, error) {
	switch asked.Do {
	case "fail":
		return nil, errors.New("asked to")
	case "fail with a type":
		return nil, fmt.Errorf("wrapped: %w", outOfStock{"tea"})
	case "fail with its own type":
		return nil, outOfStock{"tea"}
	case "panic":
		innermost()
	case "exit":
		os.Exit(asked.N)
	case "sleep":
		time.Sleep(time.Minute)
	case "hog":
		for {
			block := make([]byte, 1<<20)
			for at := 0; at < len(block); at += 4096 {
				block[at] = 1
			}
			held = append(held, block)
		}
	case "say":
		fmt.Println("to standard output")
		log.Print("to the log")
	case "long":
		return strings.Repeat("x", asked.N), nil
	case "context":
		return told(ctx)
	}
	return os.Getpid(), nil
}

func innermost() { panic("at the wits' end") }

func told(ctx context.Context) (any, error) {
	about, ok := lambdacontext.FromContext(ctx)
	if !ok {
		return nil, errors.New("no context")
	}
	deadline, _ := ctx.Deadline()
	return map[string]any{
		"request_id":  about.AwsRequestID,
		"arn":         about.InvokedFunctionArn,
		"identity":    about.Identity.CognitoIdentityID,
		"custom":      about.ClientContext.Custom,
		"app":         about.ClientContext.Client.AppTitle,
		"left_ms":     time.Until(deadline).Milliseconds(),
		"name":        lambdacontext.FunctionName,
		"version":     lambdacontext.FunctionVersion,
		"memory_mb":   lambdacontext.MemoryLimitInMB,
		"log_group":   lambdacontext.LogGroupName,
		"environment": os.Environ(),
		"folder":      folder(),
	}, nil
}

func folder() string {
	where, _ := os.Getwd()
	return where
}

// Pieces, then an error in the middle where one is asked for.
type pieces struct {
	left   int
	broken bool
}

func (p *pieces) Read(into []byte) (int, error) {
	if p.left == 0 {
		if p.broken {
			return 0, outOfStock{"tea"}
		}
		return 0, io.EOF
	}
	p.left--
	return copy(into, fmt.Sprintf("piece %d\n", p.left)), nil
}

func stream(_ context.Context, asked wish) (io.Reader, error) {
	if asked.Do == "fail" {
		return nil, errors.New("before the first piece")
	}
	return &pieces{left: asked.N, broken: asked.Do == "break"}, nil
}

func urlStream(_ context.Context, asked wish) (*events.LambdaFunctionURLStreamingResponse, error) {
	return &events.LambdaFunctionURLStreamingResponse{
		StatusCode: 201,
		Headers:    map[string]string{"content-type": "text/plain", "x-from": "go"},
		Cookies:    []string{"a=1"},
		Body:       &pieces{left: asked.N},
	}, nil
}

type echo struct{}

func (echo) Invoke(_ context.Context, event []byte) ([]byte, error) { return event, nil }

func main() {
	handlers := map[string]any{"hello": hello, "url": url, "behave": behave, "stream": stream, "url-stream": urlStream}
	name := os.Getenv("_HANDLER")
	switch handler, known := handlers[name]; {
	case known:
		lambda.Start(handler)
	case name == "echo":
		lambda.StartHandler(echo{})
	case name == "quits":
		json.NewEncoder(os.Stdout).Encode("nothing to do")
	default:
		panic("no handler is called " + name)
	}
}
