# Runs a function in PowerShell: script.ps1, script.ps1::Function or Module::Name::Function, as _HANDLER says.
# The handler finds $LambdaInput and $LambdaContext; functions are given both, in this order. The last object is the answer.

$ErrorActionPreference = 'Stop'
$base = "http://$env:AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
$client = [System.Net.Http.HttpClient]::new()
$client.Timeout = [System.Threading.Timeout]::InfiniteTimeSpan

class LambdaContext {
    [string] $AwsRequestId
    [string] $InvokedFunctionArn
    [string] $ClientContext
    [string] $Identity
    [string] $FunctionName = $env:AWS_LAMBDA_FUNCTION_NAME
    [string] $FunctionVersion = $env:AWS_LAMBDA_FUNCTION_VERSION
    [string] $LogGroupName = $env:AWS_LAMBDA_LOG_GROUP_NAME
    [string] $LogStreamName = $env:AWS_LAMBDA_LOG_STREAM_NAME
    [int] $MemoryLimitInMB = $env:AWS_LAMBDA_FUNCTION_MEMORY_SIZE
    hidden [long] $DeadlineMs

    [double] GetRemainingTimeInMillis() {
        return $this.DeadlineMs - [System.DateTimeOffset]::UtcNow.ToUnixTimeMilliseconds()
    }
}

function Send-Answer([string] $Path, [string] $Body, [string] $ErrorType) {
    $content = [System.Net.Http.StringContent]::new($Body, [System.Text.Encoding]::UTF8, 'application/json')
    if ($ErrorType) { $content.Headers.Add('Lambda-Runtime-Function-Error-Type', $ErrorType) }
    $client.PostAsync("$base/$Path", $content).GetAwaiter().GetResult().Dispose()
}

function Send-Failure([string] $Path, [System.Management.Automation.ErrorRecord] $Failure) {
    $type = $Failure.Exception.GetType().Name
    [Console]::Error.WriteLine("$Failure`n$($Failure.ScriptStackTrace)")
    $document = @{
        errorMessage = $Failure.Exception.Message
        errorType    = $type
        stackTrace   = @("$($Failure.ScriptStackTrace)" -split "`n")
    }
    Send-Answer $Path (ConvertTo-Json -Compress $document) $type
}

function Get-Header($Response, [string] $Name) {
    $values = $null
    if ($Response.Headers.TryGetValues($Name, [ref] $values)) { return "$values" }
    return ''
}

# What is run for each invocation. Scripts of functions, and modules, are loaded once.
function Get-Handler([string] $Handler) {
    $parts = $Handler -split '::'
    if ($parts.Count -eq 3 -and $parts[0] -eq 'Module') {
        $env:PSModulePath = "$env:LAMBDA_TASK_ROOT/modules:/opt/modules:$env:PSModulePath"
        Import-Module $parts[1] -Global
        return $parts[2]
    }
    if ($parts.Count -gt 2 -or $parts[0] -notlike '*.ps1') {
        throw "Invalid handler '$Handler': it is script.ps1, script.ps1::Function or Module::Name::Function"
    }
    return Join-Path $env:LAMBDA_TASK_ROOT $parts[0]
}

try {
    $command = Get-Handler $env:_HANDLER
    $function = ($env:_HANDLER -split '::')[1]
    if ($command -like '*.ps1' -and $function) {
        . $command
        $command = $function
    }
}
catch {
    Send-Failure 'init/error' $_
    exit 1
}

while ($true) {
    $response = $client.GetAsync("$base/invocation/next").GetAwaiter().GetResult()
    $text = $response.Content.ReadAsStringAsync().GetAwaiter().GetResult()
    $env:_X_AMZN_TRACE_ID = Get-Header $response 'Lambda-Runtime-Trace-Id'
    $LambdaContext = [LambdaContext] @{
        AwsRequestId       = Get-Header $response 'Lambda-Runtime-Aws-Request-Id'
        InvokedFunctionArn = Get-Header $response 'Lambda-Runtime-Invoked-Function-Arn'
        ClientContext      = Get-Header $response 'Lambda-Runtime-Client-Context'
        Identity           = Get-Header $response 'Lambda-Runtime-Cognito-Identity'
        DeadlineMs         = Get-Header $response 'Lambda-Runtime-Deadline-Ms'
    }
    $response.Dispose()
    $path = "invocation/$($LambdaContext.AwsRequestId)"
    try {
        $LambdaInput = ConvertFrom-Json $text
        if ($command -like '*.ps1') { $given = & $command } else { $given = & $command $LambdaInput $LambdaContext }
        $answer = @($given)[-1]
        if ($answer -isnot [string]) { $answer = ConvertTo-Json -Compress -Depth 100 -InputObject $answer }
        Send-Answer "$path/response" $answer
    }
    catch {
        Send-Failure "$path/error" $_
    }
}
