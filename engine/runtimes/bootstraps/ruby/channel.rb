# frozen_string_literal: true

module EngineRuntime
  # The Runtime API as a client, on the connection that the process was started with. An answer and the question for the
  # next event go out in one write.
  class Channel
    NEXT = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: l\r\n\r\n"
    ASSIGNMENT = "GET /engine/assignment HTTP/1.1\r\nHost: l\r\n\r\n"
    LINE_END = "\r\n"

    def initialize(number)
      @from = IO.for_fd(number, 'rb', autoclose: false)
      @to = IO.for_fd(number, 'wb', autoclose: false)
      @to.sync = true
      @from.close_on_exec = true
      @number = number
      @posted = [] # what leaves with the question for the next event
      @owed = 0
    end

    # Which function this is to be, as JSON. Waits as long as nobody knows.
    def assignment
      @to.write(ASSIGNMENT)
      (reply || exit!(0))[1]
    end

    # Headers by names in lower case, and the event; nil where the engine needs this process no more.
    def next
      finish(NEXT) && reply
    end

    # Ends an invocation with its answer: as this process comes to wait for the next, or by `finish`.
    def answer(request_id, body, content_type)
      post(head("invocation/#{request_id}/response", body, "Content-Type: #{content_type}\r\n"), body)
    end

    # The same with an error.
    def fail(request_id, body, error_type)
      post(failed("invocation/#{request_id}/error", body, error_type), body)
    end

    # Sends what is posted: the descriptor, on which nothing is under way then. nil where nobody is at the other end.
    def finish(*more)
      @to.write(*@posted, *more)
      @posted = []
      while @owed.positive?
        return nil unless reply

        @owed -= 1
      end
      @number
    end

    def fail_init(body, error_type)
      @to.write(failed('init/error', body, error_type), body)
      reply
    end

    private

    def post(*pieces)
      @posted = pieces
      @owed += 1
    end

    def failed(path, body, error_type)
      head(path, body, "Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: #{error_type}\r\n")
    end

    def head(path, body, headers)
      "POST /2018-06-01/runtime/#{path} HTTP/1.1\r\nHost: l\r\n#{headers}Content-Length: #{body.bytesize}\r\n\r\n"
    end

    def reply
      return nil unless @from.gets(LINE_END)

      headers = {}
      while (line = @from.gets(LINE_END)) && line != LINE_END
        name, value = line.chomp(LINE_END).split(': ', 2)
        headers[name.downcase] = value.to_s.force_encoding(Encoding::UTF_8)
      end
      body = @from.read(headers['content-length'].to_i)
      body && [headers, body.force_encoding(Encoding::UTF_8)]
    end
  end
end
