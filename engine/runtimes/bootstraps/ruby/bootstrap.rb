# frozen_string_literal: true

# Started on the host's Ruby, 2.7 or newer, with a connection to the Runtime API: becomes a function, loads it, serves.

require 'json'
require 'logger'
require 'stringio'
require_relative 'channel'
require_relative 'errors'
require_relative 'handler'
require_relative 'context'
require_relative 'logging'
require_relative 'place'
require_relative 'surroundings'

$stdout.sync = true
$stderr.sync = true

module EngineRuntime
  CHANNEL_FD = 3
  INIT_FAILED = 252 # -4, as AWS's client ends then
  HANDLER_FAILED = 255

  # One environment's life.
  class Runner
    def initialize(channel)
      @channel = @way = channel
    end

    def run
      Place.preload unless ENV.key?('AWS_LAMBDA_FUNCTION_NAME') # started ahead: it has time
      handler_name = Surroundings.enter(JSON.parse(@channel.assignment))
      Logging.install
      load_handler(handler_name)
      first = @way.next or return
      invoke(*first)
      @way = Place.take_over(@channel, first[0]['lambda-runtime-invoked-function-arn'])
      while (event = @way.next)
        invoke(*event)
      end
    end

    private

    def load_handler(name)
      @handler = LambdaHandler.new(env_handler: name)
      require @handler.handler_file_name
    rescue Exception => e # what a file raises while it is loaded, `exit` too, is told as AWS's client tells it
      failure = LambdaErrors::Failure.new(e, 'Init')
      Logging.failure("Init error when loading handler #{name}", failure)
      @channel.fail_init(failure.to_json, failure.header)
      exit(INIT_FAILED)
    end

    # Runs one invocation and ends it.
    def invoke(headers, body)
      request_id = headers['lambda-runtime-aws-request-id']
      $_global_aws_request_id = request_id
      trace_id = headers['lambda-runtime-trace-id']
      ENV['_X_AMZN_TRACE_ID'] = trace_id if trace_id
      failure, critical = nil
      begin
        request = AwsLambda::Marshaller.marshall_request(Request.new(headers, body))
        answer, type = @handler.call_handler(request: request, context: LambdaContext.new(headers))
        answer = answer.read if type == 'application/unknown'
      rescue NameError => e # AWS's client starts anew after these, and after what is no StandardError
        failure, critical = LambdaErrors::Failure.new(e, 'Function'), true
      rescue StandardError => e
        failure = LambdaErrors::Failure.new(e, 'Function')
      rescue Exception => e
        failure, critical = LambdaErrors::Failure.new(e, 'Function'), true
      end
      return @way.answer(request_id, answer, type || 'application/json') unless failure

      fail(request_id, failure, critical)
    end

    def fail(request_id, failure, critical)
      Logging.failure(critical ? 'Critical exception from handler' : 'Error raised from handler method', failure)
      @way.fail(request_id, failure.to_json, failure.header)
      return unless critical

      @way.finish
      exit(HANDLER_FAILED)
    end
  end

  # What AwsLambda::Marshaller is given: an HTTP answer's headers and body.
  class Request
    attr_reader :body

    def initialize(headers, body)
      @headers = headers
      @body = body
    end

    def [](name)
      @headers[name.downcase]
    end
  end
end

EngineRuntime::Runner.new(EngineRuntime::Channel.new(EngineRuntime::CHANNEL_FD)).run
